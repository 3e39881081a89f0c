"""Hashing on other machines: jobs, answers, and the cluster that runs them. `messages.proto` has the protocol."""
