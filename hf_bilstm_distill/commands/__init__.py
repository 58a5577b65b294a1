"""The command line: what `hf-bilstm-distill NAME` and the scripts in `examples/` do.

Each command is a module with a `main` that reads `sys.argv`. What they do is done by the stages; what is here reads
arguments and files, and brings the stages together.
"""
