"""Send a student's code along with it, for people who do not have this package."""

from transformers import PreTrainedModel

from hf_bilstm_distill.students import BiLSTMForSequenceClassification, BiLSTMModel

_AUTO_CLASSES: dict[type[PreTrainedModel], str] = {
    BiLSTMModel: "AutoModel",
    BiLSTMForSequenceClassification: "AutoModelForSequenceClassification",
}


def include_code(model: PreTrainedModel) -> None:
    """Make `save_pretrained` and `push_to_hub` copy the Python files that a student is made of beside its weights.

    `AutoModel` and `AutoModelForSequenceClassification` then load it with `trust_remote_code=True` where this package
    is not installed. transformers keeps this by class: from now on every save of a student copies its code,
    checkpoints too, so call it when training is over.

    Args:
        model: The student.

    Raises:
        TypeError: If the model is none of this package's students.
    """
    if type(model) not in _AUTO_CLASSES:
        names = [known.__name__ for known in _AUTO_CLASSES]
        raise TypeError(f"include_code takes one of {names}, got {type(model).__name__}.")
    type(model.config).register_for_auto_class()
    for known, name in _AUTO_CLASSES.items():  # a classifier's encoder may be saved apart
        known.register_for_auto_class(name)
    # transformers enters the saved class alone; people also load the encoder from a classifier's checkpoint.
    model.config.auto_map = {
        name: f"{known.__module__.rpartition('.')[2]}.{known.__name__}" for known, name in _AUTO_CLASSES.items()
    }
