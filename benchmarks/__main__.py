"""Runs the named benchmarks, or all; each is a module here with a `main(arguments)`."""

import sys
from importlib import import_module
from pathlib import Path

SUPPORT = {"__init__", "__main__", "peers", "measure", "report", "housing", "load", "parts"}


def main() -> None:
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in SUPPORT)
    chosen = sys.argv[1:] or names
    for name in chosen:
        if name not in names:
            sys.exit(f"there is no benchmark {name!r}; there are {', '.join(names)}")
        print(f"\n## {name}\n", flush=True)
        import_module(f"benchmarks.{name}").main([])


if __name__ == "__main__":
    main()
