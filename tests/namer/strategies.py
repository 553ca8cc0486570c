"""Hypothesis strategies for the values of the naming language."""

from hypothesis import strategies as st

from namer.dtab import ANY, Dentry, Dtab, Prefix
from namer.nametree import EMPTY, FAIL, NEG, Alt, Leaf, NameTree, Union, Weighted
from namer.path import Path

any_labels = st.binary(min_size=1, max_size=6).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
few_labels = st.sampled_from("abc")
weights = st.floats(0, 1e9)


def paths(labels: st.SearchStrategy[str] = any_labels, min_size: int = 0) -> st.SearchStrategy[Path]:
    return st.lists(labels, min_size=min_size, max_size=4).map(lambda each: Path(tuple(each)))


def trees(leaves: st.SearchStrategy[Path]) -> st.SearchStrategy[NameTree[Path]]:
    """Trees as the grammar builds them: no Alt or Union of fewer than two."""
    simple: st.SearchStrategy[NameTree[Path]] = st.one_of(leaves.map(Leaf), st.sampled_from([NEG, EMPTY, FAIL]))
    return st.recursive(simple, _nested, max_leaves=8)


def _nested(inner: st.SearchStrategy[NameTree[Path]]) -> st.SearchStrategy[NameTree[Path]]:
    branches = st.builds(Weighted, weights, inner)
    return st.one_of(
        st.lists(inner, min_size=2, max_size=4).map(lambda each: Alt(tuple(each))),
        st.lists(branches, min_size=2, max_size=4).map(lambda each: Union(tuple(each))),
    )


def prefixes(labels: st.SearchStrategy[str] = any_labels) -> st.SearchStrategy[Prefix]:
    return st.lists(st.one_of(labels, st.just(ANY)), max_size=3).map(lambda each: Prefix(tuple(each)))


def dtabs(labels: st.SearchStrategy[str] = any_labels) -> st.SearchStrategy[Dtab]:
    dentries = st.builds(Dentry, prefixes(labels), trees(paths(labels)))
    return st.lists(dentries, max_size=6).map(lambda each: Dtab(tuple(each)))
