"""What crosses a process boundary: ids, topics, events, templates, states, plans and errors.

Needs nothing but pydantic, so that an internal producer can install it alone.
"""
