"""How to speak to a Bitrix24 portal, and only that: addresses, calls, answers and what they mean.

Knows nothing of deliveries, Redis or RQ.
"""
