"""Sections of the API's documentation."""

from flask_openapi.models.tag import Tag

TRAINING_JOBS = Tag(name="training jobs", description="Train a model, follow its progress, fetch its samples.")
GENERATION_JOBS = Tag(name="generation jobs", description="Sample from a model.")
MODELS = Tag(name="models", description="The published results of training jobs, and imported models.")
ARTIFACTS = Tag(name="artifacts", description="Files: samples and outputs.")
DATASETS = Tag(name="datasets", description="Data to train on.")
MODEL_TYPES = Tag(name="model types", description="Kinds of models with their hyperparameters and presets.")
STREAMS = Tag(name="streams", description="Changes as server-sent events, as they happen.")
OPERATIONS = Tag(name="operations", description="Workers, health, readiness, metrics.")
