from hypothesis import given

from namer.dtab import ANY, AnyLabel, Dentry, Dtab, Prefix
from namer.nametree import NEG, Alt, NameTree, map_leaves, show
from namer.path import Path
from tests.namer.strategies import dtabs, few_labels, paths


def lookup(dtab: str, path: str) -> str:
    return show(Dtab.parse(dtab).lookup(Path.parse(path)))


def test_the_rest_of_the_path_goes_behind_each_leaf() -> None:
    assert lookup("/svc => /a | 2 * /b & ~", "/svc/web/x") == "/a/web/x | 2 * /b/web/x & ~"


def test_later_rules_go_first_and_length_does_not_count() -> None:
    assert lookup("/svc/web => /a ; /svc => /b ; /other => /c", "/svc/web") == "/b/web | /a"


def test_a_wildcard_stands_for_exactly_one_label() -> None:
    table = "/svc/*/v1 => /a"

    assert lookup(table, "/svc/web/v1/x") == "/a/x"
    assert lookup(table, "/svc/v1") == "~"
    assert lookup(table, "/svc/web/x/v1") == "~"


def test_a_subset_is_a_label_of_its_own() -> None:
    subset, under_a = r"/svc/users\x3bv\x3d2", Path(("a", "users;v=2")).show()

    assert lookup("/svc/users => /a", subset) == "~"
    assert lookup("/svc => /a", subset) == under_a
    assert lookup(f"/svc => /a ; {subset} => /b", subset) == f"/b | {under_a}"


def test_the_empty_prefix_matches_everything() -> None:
    assert lookup("/ => /a", "/") == "/a"
    assert lookup("/ => /a", "/svc") == "/a/svc"


def test_nothing_matches() -> None:
    assert lookup("", "/svc") == "~"
    assert lookup("/svc/web => /a", "/svc") == "~"


def test_adding_tables() -> None:
    base, local = Dtab.parse("/svc => /a"), Dtab.parse("/svc/web => /b")

    both = base + local

    assert both == Dtab.parse("/svc => /a ; /svc/web => /b")
    assert hash(both) == hash(Dtab(base.dentries + local.dentries))
    assert show(both.lookup(Path.parse("/svc/web"))) == "/b | /a/web"
    assert len(both) == 2
    assert base + Dtab.EMPTY is base
    assert Dtab.EMPTY + local is local


def test_showing() -> None:
    table = Dtab.parse("/svc=>/a|/b;/*=>!")

    assert str(table) == "/svc => /a | /b ; /* => !"
    assert str(table.dentries[1]) == "/* => !"
    assert str(table.dentries[1].prefix) == "/*"
    assert repr(ANY) == "ANY"


def matches(prefix: Prefix, path: Path) -> bool:
    """The definition, element by element."""
    pairs = zip(prefix.elements, path.labels, strict=False)
    return len(prefix) <= len(path) and all(isinstance(each, AnyLabel) or each == label for each, label in pairs)


def naive_lookup(dtab: Dtab, path: Path) -> NameTree[Path]:
    """The definition: every rule looked at, the last one first."""

    def rewritten(rule: Dentry) -> NameTree[Path]:
        return map_leaves(lambda leaf: leaf + path[len(rule.prefix) :], rule.dst)

    trees = tuple(rewritten(rule) for rule in reversed(dtab.dentries) if matches(rule.prefix, path))
    return Alt(trees) if len(trees) > 1 else trees[0] if trees else NEG


@given(dtabs(few_labels), paths(few_labels))
def test_a_lookup_finds_what_looking_at_every_rule_finds(dtab: Dtab, path: Path) -> None:
    assert dtab.lookup(path) == naive_lookup(dtab, path)


@given(dtabs(few_labels), dtabs(few_labels), dtabs(few_labels), paths(few_labels))
def test_added_tables_are_looked_up_as_one(first: Dtab, second: Dtab, third: Dtab, path: Path) -> None:
    assert (first + second + third).lookup(path) == naive_lookup(first + second + third, path)


def test_a_lookup_does_not_look_at_every_rule() -> None:
    seen: list[str] = []

    class Spied(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            seen.append(self)
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    rules = tuple(Dentry(Prefix(("svc", Spied(f"name{each}"))), NEG) for each in range(10_000))
    table = Dtab(rules)
    table.lookup(Path.parse("/svc"))  # builds the index
    seen.clear()

    found = list(table.matches(Path.parse("/svc/name77")))

    assert found == [rules[77]]
    assert len(seen) < 10


@given(dtabs(few_labels), dtabs(few_labels), paths(few_labels))
def test_a_prepared_table_is_the_same_table(table: Dtab, before: Dtab, path: Path) -> None:
    prepared = table.prepared(before)

    assert prepared == table
    assert prepared.lookup(path) == table.lookup(path)
    assert (prepared + before).lookup(path) == (table + before).lookup(path)


def test_a_prepared_table_is_made_of_what_it_has_in_common_with_the_one_before() -> None:
    before = Dtab.parse("/a => /b ; /c => /d")

    prepared = Dtab.parse("/x => /y ; /c => /d").prepared(before)

    assert prepared.dentries[1] is before.dentries[1]
