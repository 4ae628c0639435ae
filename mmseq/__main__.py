"""`python -m mmseq` is `mmseq`."""

from mmseq.cli.main import run

if __name__ == "__main__":
    run()
