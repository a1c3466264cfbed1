"""OTLP over HTTP: what OpenTelemetry's SDKs and collectors export, decoded into nouns."""
