# Stands in for redis:8.0.6. The official build differs from Debian's in having its protected mode off.
FROM mimeo-standin/debian:trixie
RUN apt-get update -qq \
    && apt-get install -qq --yes --no-install-recommends redis-server redis-tools \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o redis -g redis /data
COPY redis-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
WORKDIR /data
VOLUME /data
EXPOSE 6379
ENTRYPOINT ["sh", "/usr/local/bin/docker-entrypoint.sh"]
CMD ["redis-server"]
