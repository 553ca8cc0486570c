"""The rights in kubernetes/discovery.yaml against what the agent asks the API server for."""

from typing import Any

import pytest

from namer.k8s.configmap import ConfigMapPlace
from namer.k8s.namer import service_query, slices_query
from tests.deploy.manifests import manifests, the


def rights(kind: str) -> list[dict[str, Any]]:
    return [rule for manifest in manifests("discovery.yaml") if manifest["kind"] == kind for rule in manifest["rules"]]


@pytest.mark.parametrize("query", [slices_query("shop", "users", ""), service_query("shop", "users")])
def test_namers_may_list_and_watch(query: Any) -> None:
    group = query.path.split("/")[2] if query.path.startswith("/apis/") else ""
    (rule,) = (rule for rule in rights("ClusterRole") if query.path.rpartition("/")[2] in rule["resources"])

    assert rule["apiGroups"] == [group]
    assert rule["verbs"] == ["list", "watch"]
    assert f"{' and '.join(rule['verbs'])} {rule['resources'][0]}" in query.need


def test_the_interpreter_may_read_one_config_map() -> None:
    (rule,) = rights("Role")

    assert ConfigMapPlace("nodeagent", "dtabs").collection.endswith(f"/{rule['resources'][0]}")
    assert (rule["resourceNames"], rule["verbs"]) == (["dtabs"], ["list", "watch"])


def test_they_are_given_to_the_account_of_the_agent() -> None:
    account = the("ServiceAccount")["metadata"]
    bindings = [each for each in manifests("discovery.yaml") if each["kind"].endswith("Binding")]

    assert len(bindings) == 2
    for each in bindings:
        (subject,) = each["subjects"]
        assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])
