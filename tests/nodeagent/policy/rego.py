"""Real Rego, by an interpreter of its own: what Open Policy Agent would answer by such rules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from regopy import Interpreter

DOCUMENTED = Path(__file__).parents[3] / "docs" / "security.md"


class Rego:
    """A module of rules, and the document at a path of them."""

    def __init__(self, module: str, path: str) -> None:
        """`path` is as in the configuration: `mesh/authz`."""
        self._module = module
        self._query = "data." + path.replace("/", ".")

    def __call__(self, about: dict[str, Any]) -> object:
        """The value of the document for that input; None where it is undefined."""
        interpreter = Interpreter()
        interpreter.add_module("mesh.rego", self._module)
        interpreter.set_input(about)
        output = interpreter.query(self._query)
        assert output is not None
        assert output.ok(), output
        values = [value for result in output.results for value in result.expressions]
        return json.loads(json.dumps(values[0])) if values else None


def documented() -> str:
    """The module that the page on security shows."""
    (module,) = re.findall(r"^```rego\n(.*?)^```", DOCUMENTED.read_text(), re.MULTILINE | re.DOTALL)
    return str(module)
