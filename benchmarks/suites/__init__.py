"""What is measured: a module a suite, whose `cases(quick)` lists the losses and their sizes."""
