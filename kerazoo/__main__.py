from kerazoo.cli import main

main()
