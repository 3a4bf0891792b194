"""The log of the service's answers: written before each answer, compacted, labelled, a batch."""
