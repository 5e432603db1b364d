"`python -m tsdisk`"
import sys
from tsdisk.tools.cli import main

if __name__ == '__main__': sys.exit(main())
