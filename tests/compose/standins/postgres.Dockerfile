# Stands in for postgres:17.7: the same major version, data folder, variables and stop signal.
FROM mimeo-standin/debian:trixie
RUN apt-get update -qq \
    && apt-get install -qq --yes --no-install-recommends postgresql-common \
    && echo 'create_main_cluster = false' >> /etc/postgresql-common/createcluster.conf \
    && apt-get install -qq --yes --no-install-recommends postgresql-17 \
    && rm -rf /var/lib/apt/lists/*
ENV PATH=/usr/lib/postgresql/17/bin:$PATH PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
COPY postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
RUN install -d -o postgres -g postgres -m 700 "$PGDATA" && install -d -o postgres -g postgres -m 3777 /run/postgresql
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
EXPOSE 5432
ENTRYPOINT ["sh", "/usr/local/bin/docker-entrypoint.sh"]
CMD ["postgres"]
