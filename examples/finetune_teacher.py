"""Fine-tune an encoder as a classifier, to be distilled afterwards.

    python examples/finetune_teacher.py --model MODEL --train_file train.jsonl --validation_file dev.jsonl \
        --num_train_epochs 3 --output_dir out/teacher

With `--teacher_logits_column` it learns to match given logits instead of the gold labels. What it does is in
`hf_bilstm_distill/commands/finetune_teacher.py`.
"""

from hf_bilstm_distill.commands.finetune_teacher import main

if __name__ == "__main__":
    main()
