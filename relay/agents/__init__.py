"""Tools for agents, over the Model Context Protocol: what a language model may ask of a running relay, and do.

They speak to the relay's JSON API and to nothing else: this room knows neither the record nor its server.
"""
