"""`python -m seqbench` is `seqbench`."""

from seqbench.bench.cli import main

if __name__ == "__main__":
    main()
