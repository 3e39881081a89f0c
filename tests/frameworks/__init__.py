"""Real libraries load real models from the local hub, guarded and not."""
