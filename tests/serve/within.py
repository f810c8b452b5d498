"""A service with limits of its own."""

from dataclasses import replace

from kerazoo.serve.budget import Budget
from kerazoo.serve.limits import Limits


def within(service, **limits):
    return replace(service, budget=Budget(Limits(**limits)))
