"""`/api/v1`: the record and the acts for programs. JSON in, JSON out, problem+json for errors, OpenAPI beside it."""

from relay.web.api.registration import register

__all__ = ["register"]
