"""The embedded demo: procedural portraits, the subject to learn, its likeness score, and the small base model.

Nothing here imports torch except `train_base` and the modules it alone uses, so that pictures and scores need no torch.
"""
