"""`python -m sequencer.l1.contracts.compile`: writes the artifact of the Inbox anew. A tool for developers.

Responsible for: calling the compiler the same way every time, so that the same source gives the same bytes.
Refuses to do: run in a node, which reads the committed artifact and needs no compiler.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "inbox.vy"
ARTIFACT = FOLDER / "inbox.json"
_OUTPUTS = ["abi", "bytecode", "bytecode_runtime"]


def compile_inbox() -> dict[str, Any]:
    """What the artifact should hold. The compiler's options stand in the source's pragmas."""
    import vyper  # noqa: PLC0415 (a development dependency, and seconds to load)
    from vyper.compiler.input_bundle import FileInput  # noqa: PLC0415

    source = SOURCE.read_text()
    name = Path(SOURCE.name)  # the bytes do not depend on where the source lies
    compiled = vyper.compile_from_file_input(FileInput(0, name, name, source), output_formats=_OUTPUTS)
    return {
        "contract": "Inbox",
        "compiler": f"vyper {vyper.__version__}",
        "source_sha256": hashlib.sha256(source.encode()).hexdigest(),
        "abi": compiled["abi"],
        "bytecode": compiled["bytecode"],
        "runtime_bytecode": compiled["bytecode_runtime"],
    }


def render(artifact: dict[str, Any]) -> str:
    """The artifact's file."""
    return json.dumps(artifact, indent=1) + "\n"


if __name__ == "__main__":
    ARTIFACT.write_text(render(compile_inbox()))
