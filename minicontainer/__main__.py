"""`python -m minicontainer` is the `minicontainer` command."""

from minicontainer.cli.main import main

if __name__ == "__main__":
    main()
