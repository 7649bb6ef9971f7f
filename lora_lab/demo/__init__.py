"""The embedded demo: procedural portraits, the subject to learn, its likeness score, the small base model.

Pictures and scores need no torch: nothing here imports it but `train_base` and the modules it alone uses.
"""
