"""The description of the service: https://spec.openapis.org/oas/v3.1.0."""

from typing import Any

import msgspec

from esteira.serve.service import Said, Service


def describe(service: Service) -> dict[str, Any]:
    """Return the whole document."""
    row = {"$ref": "#/components/schemas/Row"}
    said = msgspec.json.schema(Said)["$defs"]["Said"]
    refused = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    refusals = {
        "400": "The body is no JSON.",
        "401": "The token is missing or wrong.",
        "413": "The body is too large, or has too many rows.",
        "415": "The body is of another kind.",
        "422": "Fields are wrong; `faults` names all of them.",
        "500": "The model failed on this request.",
        "503": "Too many rows wait, or the log cannot be written: try again.",
    }
    responses: dict[str, Any] = {
        "200": {
            "description": "An answer for each row, in their order.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Answers"}}},
        }
    }
    responses |= {
        status: {"description": text, "content": refused} for status, text in refusals.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Predicts {service.what.target}", "version": service.origin.version},
        "paths": {
            "/predict": {
                "post": {
                    "summary": "Answer one row, or a list of rows.",
                    "requestBody": {
                        "required": True,
                        "content": {
                            "application/json": {
                                "schema": {"oneOf": [row, {"type": "array", "items": row}]}
                            }
                        },
                    },
                    "responses": responses,
                }
            },
            "/explain": {
                "post": {
                    "summary": "Say what moved the answer to one row.",
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": row}},
                    },
                    "responses": {
                        "200": {"description": "The answer, and each input at its usual value."}
                    },
                }
            },
            **{path: {"get": {"summary": text, "responses": {"200": {"description": text}}}}
               for path, text in GETS.items()},
        },
        "components": {
            "schemas": {
                "Row": service.rows.json_schema(),
                "Said": said,
                "Answers": {
                    "type": "object",
                    "required": ["model", "data", "request", "answers"],
                    "properties": {
                        "model": {"type": "string", "description": "Release, or hash."},
                        "data": {"type": "string", "description": "Hash of what it learnt."},
                        "request": {"type": "string"},
                        "answers": {
                            "type": "array",
                            "items": {"$ref": "#/components/schemas/Said"},
                        },
                    },
                },
                "Refusal": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {"type": "string"},
                        "faults": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "properties": {
                                    "row": {"type": "integer", "description": "From 1."},
                                    "field": {"type": "string"},
                                    "problem": {"type": "string"},
                                },
                            },
                        },
                    },
                },
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }  # fmt: skip


GETS = {
    "/health": "Whether the worker is alive.",
    "/ready": "Whether requests can be answered.",
    "/model": "What the model is: version, metrics, schema, card.",
    "/metrics": "Figures for Prometheus.",
}
