"""The local applications of the portal: server applications with an interface and no install path.

    registry    the applications: their keys, scopes, and what they have bound
    tokens      the authorisation server: codes, access and refresh tokens, whose a token is

Facts: local-integrations/local-apps.md, settings/oauth/*.md, api-reference/widgets/*.md, api-reference/events/*.md
(docs); rest/lib/oauth/auth.php, rest/lib/api/placement.php, rest/lib/api/event.php (source); the vendor's Python SDK
for the shape of the answers. There are no install pages, no offline events, and no events of the CRM.
"""
