# The headers as doxygen understands them.
s/oplog::inline v[0-9_]*/oplog/
s/R"([^)]*)"/""/g
/^template <class In>$/ {
    N
    /enable_view/d
}
