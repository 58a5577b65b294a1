"""The command `hf-bilstm-distill`: `--help`, `--version`, and which module does what.

It stands beside the package, not in it: whoever imports the package imports PyTorch, and that takes seconds.
"""

import argparse
import importlib
import sys
from importlib import metadata
from typing import NoReturn

NAME = "hf-bilstm-distill"
COMMANDS = {
    "demo": ("distill", "Distil a small teacher that it trains itself: no data, no network."),
    "distill": ("distill", "Distil a classifier into a BiLSTM, from files or a data set on the Hub to a report."),
    "mkd": ("mkd", "Distil the teachers of several tasks into one student."),
    "label": ("label", "Add a teacher's logits to the texts of a file."),
    "augment": ("augment", "Add augmented copies to the texts of a file."),
    "report": ("report", "Measure several models on a file: quality, agreement, size and speed."),
    "export": ("export", "Write a student into a folder that runs without PyTorch, in 8 bits."),
    "predict": ("predict", "Classify lines from a file or a pipe into JSON lines."),
}
"""Name to module of `hf_bilstm_distill.commands`, and what it does."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def main() -> None:
    """Run the command that is named first; it reads the rest of the line."""
    parser = _Parser(
        prog=NAME,
        usage=f"{NAME} COMMAND [--help] ...",
        description="Distil a fine-tuned text classifier into a small, fast BiLSTM.",
        epilog="commands:\n" + "\n".join(f"  {name:<9} {does}" for name, (_, does) in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", metavar="COMMAND", choices=COMMANDS, help="one of those below")
    parser.add_argument("--version", action="version", version=metadata.version(NAME))
    command = parser.parse_args(sys.argv[1:2]).command
    sys.argv = [f"{NAME} {command}", *sys.argv[2:]]
    try:
        module = importlib.import_module(f"hf_bilstm_distill.commands.{COMMANDS[command][0]}")
    except ModuleNotFoundError as error:
        sys.exit(f"{sys.argv[0]} cannot run: {error}. Install what it needs: `pip install {NAME}`.")
    try:
        module.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
