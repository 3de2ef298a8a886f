"""What a step costs, beside what a user would write and beside what the machine could do; and how far gradients reach.

May import the ground floor, `experiments`, `engine`, `rows` and `running`. Front door: `session.Session` for the
measurements of `seqbench speed`, `gradient_flow.measure` for those of `seqbench gradients`.
"""
