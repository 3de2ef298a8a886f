"""`python -m seqbench.bench.cli` is `seqbench`."""

from . import main

if __name__ == "__main__":
    main()
