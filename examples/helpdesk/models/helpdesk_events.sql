select * from {{ ref('stg_clickstream__events') }}
