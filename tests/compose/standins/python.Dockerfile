# Stands in for python:3.11.14-slim-bookworm: the same Python release line, at the place the official image has it.
FROM mimeo-standin/debian:bookworm
RUN apt-get update -qq \
    && apt-get install -qq --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && ln -s /usr/bin/python3 /usr/local/bin/python \
    && ln -s /usr/bin/python3 /usr/local/bin/python3
CMD ["python3"]
