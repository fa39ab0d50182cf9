"""Training: the mixed rows as the trainer reads them, the trainer, the device, the checkpoints."""
