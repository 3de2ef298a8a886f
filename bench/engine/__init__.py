"""What makes a number: the only training loop, its evaluation, its checkpoints, and how steps are executed.

On a CPU steps run one after the other; on a GPU a step is captured once and replayed, and many runs take turns.
May import the ground floor and `experiments`. Front door: `training.train` for one run, `training.Loop` for a run that
takes turns with others.
"""
