"""One request's life: lease, launch, hello, attempts, deadline, result, clean-up. AWS behind injected ports."""
