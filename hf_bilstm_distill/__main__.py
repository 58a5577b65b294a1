"""`python -m hf_bilstm_distill`: the same as the command `hf-bilstm-distill`."""

from hf_bilstm_distill_cli import main

if __name__ == "__main__":
    main()
