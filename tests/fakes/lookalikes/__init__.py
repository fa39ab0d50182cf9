"""Small models with the traits that make NorBERT 3 and 4 break under transformers 5; written for these tests, without any of their code."""
