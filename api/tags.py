"""Sections of the API's documentation."""

from flask_openapi.models.tag import Tag

TRAINING_JOBS = Tag(name="training jobs", description="Train a model, watch it, fetch its samples.")
GENERATION_JOBS = Tag(name="generation jobs", description="Sample from a model.")
MODELS = Tag(name="models", description="What successful training jobs published.")
ARTIFACTS = Tag(name="artifacts", description="Files: samples and outputs.")
DATASETS = Tag(name="datasets", description="What there is to train on.")
MODEL_TYPES = Tag(name="model types", description="What can be trained, and what each kind takes.")
OPERATIONS = Tag(name="operations", description="Workers, health, readiness, metrics.")
