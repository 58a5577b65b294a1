"""Models side by side on the same texts: quality, agreement with the teacher, size and speed."""

from hf_bilstm_distill.report.comparison import Report, distillation_report
from hf_bilstm_distill.report.model_report import ModelReport

__all__ = ["ModelReport", "Report", "distillation_report"]
