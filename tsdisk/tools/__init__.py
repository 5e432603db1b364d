"Commands for a terminal"
