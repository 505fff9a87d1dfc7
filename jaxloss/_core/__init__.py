"""What every loss stands on: arguments, reduction, masks, option objects, numerics."""
