"""What is trained: `encoder` says what an architecture is, `building` makes its model, one module each holds the three."""
