"""Distil a fine-tuned text classifier into a BiLSTM.

python examples/run_distill.py                                      # a demo that needs no file and no network
python examples/run_distill.py --teacher MODEL --train_file train.csv --validation_file dev.csv --output_dir out/x
python examples/run_distill.py examples/configs/sst2.yaml --seed 1  # settings from a file, overridden by flags
accelerate launch examples/run_distill.py ...                       # several GPUs

What it does, step by step, is in `hf_bilstm_distill/commands/distill.py`; `hf-bilstm-distill distill` is the same.
"""

from hf_bilstm_distill.commands.distill import main

if __name__ == "__main__":
    main()
