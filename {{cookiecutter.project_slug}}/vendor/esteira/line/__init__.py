"""The ground floor: all that a stage may import. A change here reruns every stage."""
