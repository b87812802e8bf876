"""Fault injection: faults planned by a seed, put into an embedded cloud of its own, and every answer judged.

The service that is deployed holds none of this. `fsd chaos` deploys the ordinary stack on a cloud that it starts for
the purpose, and then replaces the code of `infer` and `worker` by the same code with this package beside it.
"""
