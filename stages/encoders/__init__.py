"""The architectures, one module each (`splade`, `inference_free`, `csr`); `encoder` is their interface, `building` builds a model."""
