"""The stages of the pipeline, one thin module each; dvc.yaml is their table of contents."""
