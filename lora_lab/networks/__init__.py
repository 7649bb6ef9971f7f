"""LoRA and LoCon adapters in packs: several adapters on one frozen base model, in one pass.

`spec` says what an adapter is (no torch), `pack` holds the weights of several, `files` reads and writes them.
"""
