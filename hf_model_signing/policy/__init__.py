"""Trust policies: who must have signed which repository."""
