"""Distil the teachers of several tasks into one student (MKD).

python examples/run_mkd.py                                     # a demo that needs no file and no network
python examples/run_mkd.py examples/configs/mkd.yaml --seed 1  # tasks and settings from a file, overridden by flags
accelerate launch examples/run_mkd.py ...                      # several GPUs

What it does, step by step, is in `hf_bilstm_distill/commands/mkd.py`; `hf-bilstm-distill mkd` is the same.
"""

from hf_bilstm_distill.commands.mkd import main

if __name__ == "__main__":
    main()
