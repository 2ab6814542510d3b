module layer-delta/gogzip

go 1.26
